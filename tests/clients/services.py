"""The services behind the proxy: Node, gunicorn, nginx, a gRPC server, a WebSocket server, one on a unix socket.

Each is started when it is first asked for. All but nginx answer `/echo` with what they got.
"""

import os
import sys

from programs import HERE, Child, free_port, listens

NGINX = """
daemon off; master_process off; pid nginx.pid; error_log error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000; default_type text/plain;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 "hello hello hello\\n"; }} }}
}}
"""


class Services:
    def __init__(self, folder, node_modules):
        self.folder, self.node_modules = folder, node_modules
        self.running, self.children = {}, []

    def url(self, kind):
        """Where a service of this kind listens, as `--upstream` takes it."""
        if kind not in self.running:
            folder = f"{self.folder}/{kind}"
            os.makedirs(folder, exist_ok=True)
            self.running[kind] = getattr(self, f"start_{kind}")(folder)
        return self.running[kind]

    def start(self, name, command, folder, ready, environment=None):
        child = Child(name, command, folder, environment)
        self.children.append(child)
        child.wait_for("ready", ready)

    def start_node(self, folder):
        port = free_port()
        environment = {"NODE_PATH": self.node_modules}
        self.start("node", ["node", f"{HERE}/services/service.js", str(port)], folder, listens(port), environment)
        return f"http://127.0.0.1:{port}"

    def start_unix(self, folder):
        path = f"{folder}/service.sock"
        environment = {"NODE_PATH": self.node_modules}
        ready = lambda: os.path.exists(path)  # noqa: E731
        self.start("unix", ["node", f"{HERE}/services/service.js", path], folder, ready, environment)
        return f"unix:{path}"

    def start_gunicorn(self, folder):
        port = free_port()
        command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--chdir", f"{HERE}/services"]
        command += ["--worker-class", "gthread", "--threads", "8", "--keep-alive", "5", "application:application"]
        self.start("gunicorn", command, folder, listens(port))
        return f"http://127.0.0.1:{port}"

    def start_nginx(self, folder):
        port = free_port()
        with open(f"{folder}/nginx.conf", "w") as out:
            out.write(NGINX.format(port=port))
        self.start("nginx", ["nginx", "-p", folder, "-c", "nginx.conf", "-e", "error.log"], folder, listens(port))
        return f"http://127.0.0.1:{port}"

    def start_grpc(self, folder):
        port = free_port()
        self.start("grpc", [sys.executable, f"{HERE}/services/grpc_service.py", str(port)], folder, listens(port))
        return f"h2c://127.0.0.1:{port}"

    def start_websockets(self, folder):
        port = free_port()
        self.start(
            "websockets", [sys.executable, f"{HERE}/services/websocket_service.py", str(port)], folder, listens(port)
        )
        return f"http://127.0.0.1:{port}"

    def stop(self):
        for child in reversed(self.children):
            child.stop()
