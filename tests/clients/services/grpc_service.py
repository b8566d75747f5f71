"""A gRPC service without a schema (messages are bytes): grpc_service.py PORT

/shop.Shop/Unary, /Server (n messages), /Client (joins all), /Both (each as it comes), /Fail (NOT_FOUND at once, so
trailers only), /FailLate (after two messages), /Slow (past any deadline), /Metadata (sends back what it got).
"""

import sys
import time
from concurrent import futures

import grpc


def unary(request, context):
    return b"you said " + request


def server_stream(request, context):
    for at in range(int(request)):
        yield b"message %d" % at


def client_stream(requests, context):
    return b",".join(requests)


def both(requests, context):
    for request in requests:
        yield request.upper()


def fail(request, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: größe")


def fail_late(request, context):
    yield b"one"
    yield b"two"
    context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "that was all")


def slow(request, context):
    time.sleep(5)
    return b"too late"


def metadata(request, context):
    got = [(key, value) for key, value in context.invocation_metadata() if key.startswith("shop-")]
    context.send_initial_metadata([("shop-first", "head"), *got])
    context.set_trailing_metadata([("shop-last", "tail"), ("shop-raw-bin", b"\x00\xff\n")])
    return b"done"


METHODS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Server": grpc.unary_stream_rpc_method_handler(server_stream),
    "Client": grpc.stream_unary_rpc_method_handler(client_stream),
    "Both": grpc.stream_stream_rpc_method_handler(both),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "FailLate": grpc.unary_stream_rpc_method_handler(fail_late),
    "Slow": grpc.unary_unary_rpc_method_handler(slow),
    "Metadata": grpc.unary_unary_rpc_method_handler(metadata),
}

limits = [("grpc.max_receive_message_length", 1 << 25), ("grpc.max_send_message_length", 1 << 25)]
server = grpc.server(futures.ThreadPoolExecutor(max_workers=32), options=limits)
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Shop", METHODS),))
server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
server.start()
server.wait_for_termination()
