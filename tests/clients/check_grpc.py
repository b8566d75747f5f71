"""gRPC's own Python client to its own server, through HTTP/2 on both sides."""

import time
from concurrent.futures import ThreadPoolExecutor

import grpc

from session import check

OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", 1 << 25)]
OK, NOT_FOUND, DEADLINE, EXHAUSTED = 0, 5, 4, 8


class Shop:
    """The service's methods on one channel."""

    def __init__(self, sent):
        self.sent = sent
        self.channel = grpc.insecure_channel(sent.proxy("grpc"), options=OPTIONS)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def named(self, grpc_status=OK, status=200, **columns):
        columns = {"status": status, "grpc_status": grpc_status, "protocol": "HTTP/2", **columns}
        return [("x-request-id", self.sent.expect(**columns))]

    def unary(self, method):
        return self.channel.unary_unary(f"/shop.Shop/{method}")

    def server(self, method):
        return self.channel.unary_stream(f"/shop.Shop/{method}")


@check("gRPC: unary calls")
def unary(sent):
    with Shop(sent) as shop:
        for at in range(50):
            name = b"me %d" % at
            assert shop.unary("Unary")(name, metadata=shop.named(), timeout=30) == b"you said " + name
        large = b"l" * (4 << 20)
        unary = shop.unary("Unary")
        assert unary(large, metadata=shop.named(), timeout=60).endswith(large)


@check("gRPC: many calls at once")
def parallel(sent):
    with Shop(sent) as shop, ThreadPoolExecutor(32) as threads:
        calls = [(b"%d" % at, shop.named()) for at in range(400)]
        said = threads.map(lambda call: shop.unary("Unary")(call[0], metadata=call[1], timeout=60), calls)
        assert list(said) == [b"you said " + name for name, _ in calls]


@check("gRPC: streams each way and both")
def streams(sent):
    with Shop(sent) as shop:
        got = list(shop.server("Server")(b"1000", metadata=shop.named(), timeout=30))
        assert got == [b"message %d" % at for at in range(1_000)]
        client = shop.channel.stream_unary("/shop.Shop/Client")
        assert client(iter([b"a", b"b", b"c"]), metadata=shop.named(), timeout=30) == b"a,b,c"
        both = shop.channel.stream_stream("/shop.Shop/Both")

        # Each message is sent only after the answer to the one before: nothing may be held back on the way.
        answers = []

        def questions():
            for at in range(20):
                while len(answers) < at:
                    time.sleep(0.001)
                yield b"question %d" % at

        for answer in both(questions(), metadata=shop.named(), timeout=30):
            answers.append(answer)
        assert answers == [b"QUESTION %d" % at for at in range(20)]


@check("gRPC: errors, at once and late")
def errors(sent):
    with Shop(sent) as shop:
        try:
            shop.unary("Fail")(b"", metadata=shop.named(NOT_FOUND), timeout=30)
            raise AssertionError("no error")
        except grpc.RpcError as error:
            assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "no such thing: größe"), error
        got = []
        try:
            for message in shop.server("FailLate")(b"", metadata=shop.named(EXHAUSTED), timeout=30):
                got.append(message)
            raise AssertionError("no error")
        except grpc.RpcError as error:
            assert (got, error.code()) == ([b"one", b"two"], grpc.StatusCode.RESOURCE_EXHAUSTED), error
        try:
            shop.unary("Absent")(b"", metadata=shop.named(12), timeout=30)
            raise AssertionError("no error")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error


@check("gRPC: metadata, text and bytes, before and after")
def metadata(sent):
    with Shop(sent) as shop:
        given = [("shop-mine", "yes"), ("shop-bytes-bin", b"\x01\x02\xfe")]
        answer, call = shop.unary("Metadata").with_call(b"", metadata=[*shop.named(), *given], timeout=30)
        first, last = dict(call.initial_metadata()), dict(call.trailing_metadata())
        assert (answer, first["shop-first"], first["shop-mine"]) == (b"done", "head", "yes"), first
        assert first["shop-bytes-bin"] == b"\x01\x02\xfe", first
        assert (last["shop-last"], last["shop-raw-bin"]) == ("tail", b"\x00\xff\n"), last


@check("gRPC: a deadline, and a call taken back")
def deadline(sent):
    with Shop(sent) as shop:
        # Whether the service's status or the client's reset comes first is a race: one row in either case.
        any_end = {"grpc_status": {None, 1, DEADLINE}, "status": {None, 200}}
        try:
            shop.unary("Slow")(b"", metadata=shop.named(**any_end), timeout=0.3)
            raise AssertionError("no error")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
        call = shop.server("Server")(b"100000000", metadata=shop.named(**any_end), timeout=30)
        assert next(call) == b"message 0"
        call.cancel()
        assert shop.unary("Unary")(b"still", metadata=shop.named(), timeout=30) == b"you said still"
