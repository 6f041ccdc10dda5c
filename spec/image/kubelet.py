"""In the place of nodes: says of every pod of a cluster that it is ready."""

import threading

from etcd import Refused

READY = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}


class Kubelet:
    """For the time of a with block."""

    def __init__(self, cluster):
        self.cluster, self._stop = cluster, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self._stop.wait(0.05):
            for pod in self.cluster.request("GET", "/api/v1/pods")["items"]:
                meta = pod["metadata"]
                if pod["status"].get("phase") == "Pending":
                    try:
                        self.cluster.request("PATCH", f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/status",
                                             READY, kind="application/merge-patch+json")
                    except Refused as e:
                        if e.status != 404:  # it is gone
                            raise

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
