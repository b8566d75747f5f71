"""Real clients through the proxy to real services: clients.py --binaries DIR --node-modules DIR [--only WORD] [--keep]

Ends with "N passed, M failed"; a check counts once for what its client saw and once for what SQL says of it.
"""

import argparse
import shutil
import sys
import tempfile

import check_curl  # noqa: F401  registers its checks, as those below
import check_grpc  # noqa: F401
import check_load  # noqa: F401
import check_node  # noqa: F401
import check_python  # noqa: F401
import check_websocket  # noqa: F401
from services import Services
from session import Session


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binaries", required=True)
    parser.add_argument("--node-modules", required=True)
    parser.add_argument("--only", help="run only checks with this word in their name")
    parser.add_argument("--keep", action="store_true", help="keep the work folder")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="ridealong-clients-")
    services = Services(folder, options.node_modules)
    passed = failed = 0
    session = Session(options.binaries, folder, services)
    try:
        for name, fault in session.run(options.only):
            passed, failed = passed + (fault is None), failed + (fault is not None)
            print(f"{'ok    ' if fault is None else 'FAILED'} {name}", flush=True)
            if fault is not None:
                print("       " + fault.strip().replace("\n", "\n       "), flush=True)
    finally:
        session.close()
        services.stop()
        if options.keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    return failed > 0 or passed == 0


if __name__ == "__main__":
    sys.exit(main())
