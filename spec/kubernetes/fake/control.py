"""Control of a FakeApi over HTTP, for whoever is no Python test: POST a JSON object to /NAME.

    put {object} · delete {"resource", "namespace", "name"} · compact · cut · stop · start · clear
    updates {"rate": slices a second, 0 = none}, returns how many were made so far
    fault {as faults.Fault} · option {"name": value ...} · restore {"objects", "version"} · load {"services", ...}

GET /requests lists what was served.
"""

import http.server
import json
import threading

import large
from faults import Fault
from updates import Updates


class Control:
    def __init__(self, api, port=0):
        updates = Updates(api.cluster)
        calls = {
            "put": api.cluster.put,
            "delete": lambda a: api.cluster.delete(a["resource"], a.get("namespace", ""), a["name"]),
            "compact": lambda a: api.cluster.compact(),
            "restore": lambda a: api.cluster.restore(a["objects"], a["version"]),
            "cut": lambda a: api.cut(),
            "stop": lambda a: api.stop(),
            "start": lambda a: api.start(),
            "clear": lambda a: api.faults.clear(),
            "fault": lambda a: api.faults.add(Fault(**a)) and None,
            "option": lambda a: vars(api.options).update(a),
            "updates": lambda a: updates.pace(a["rate"]),
            "load": lambda a: api.cluster.load(large.objects(**a), own=True),
        }

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def reply(self, code, value):
                body = json.dumps(value).encode() + b"\n"
                self.send_response(code)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                self.reply(200, [{"task": r.task, "resource": r.resource, "query": r.query, "code": r.code}
                                 for r in api.served()])

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                call = calls.get(self.path.strip("/"))
                if not call:
                    return self.reply(404, f"no such call: one of {', '.join(sorted(calls))}")
                try:
                    self.reply(200, call(json.loads(body or b"{}")))
                except (KeyError, TypeError, ValueError) as e:
                    self.reply(400, repr(e))

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
