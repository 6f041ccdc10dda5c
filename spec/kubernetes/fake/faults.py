"""Faults that a request meets, told by tests.

    api.faults.add(Fault("services", "watch", status=429, retry_after=2, times=1))
"""

import threading

import encode


class Fault:
    """resource: a plural, or None for all. task: "list", "watch", "initial" (WatchList), "stream" (both of them) or None for
    all. times: how many requests meet it, None = all until it is removed. after: so many requests go well before. pages:
    only requests for a further page of a list.

    What happens, one of:
      status     an HTTP status with a Status object (message, reason, retry_after, too_large)
      body       these octets, with content_type and http
      event      a watch gets an ERROR event with a Status of this code after what is there
      cut        the connection breaks after so many octets of the body
      corrupt    the octet at this place of the body is another one
      silent     the head is sent and nothing more, until the client goes; before_head: not even that
      slow       so many octets of the body a second
      no_end     a WatchList without the bookmark at its end
    """

    def __init__(self, resource=None, task=None, times=1, after=0, **what):
        self.resource, self.task, self.times, self.after = resource, task, times, after
        self.pages = what.pop("pages", False)
        self.status = what.pop("status", None)
        self.message = what.pop("message", "a fault of the test")
        self.reason = what.pop("reason", None)
        self.retry_after = what.pop("retry_after", None)
        self.too_large = what.pop("too_large", False)
        self.body = what.pop("body", None)
        self.content_type = what.pop("content_type", "application/json")
        self.http = what.pop("http", 200)
        self.event = what.pop("event", None)
        self.cut = what.pop("cut", None)
        self.corrupt = what.pop("corrupt", None)
        self.silent = what.pop("silent", False)
        self.before_head = what.pop("before_head", False)
        self.slow = what.pop("slow", None)
        self.no_end = what.pop("no_end", False)
        self.met = 0
        if what:
            raise TypeError(f"unknown fault: {', '.join(what)}")


class Faults:
    def __init__(self):
        self._list, self._lock = [], threading.Lock()

    def add(self, fault):
        with self._lock:
            self._list.append(fault)
        return fault

    def clear(self):
        with self._lock:
            self._list.clear()

    def remove(self, fault):
        with self._lock:
            if fault in self._list:
                self._list.remove(fault)

    def meet(self, resource, task, query):
        """The fault that this request meets, or None."""
        with self._lock:
            for fault in self._list:
                if fault.resource not in (None, resource):
                    continue
                if fault.task not in (None, task) and not (fault.task == "stream" and task in ("watch", "initial")):
                    continue
                if fault.pages and "continue" not in query:
                    continue
                if fault.after:
                    fault.after -= 1
                    continue
                fault.met += 1
                if fault.times is not None and fault.met >= fault.times:
                    self._list.remove(fault)
                return fault
        return None


REASONS = {400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 406: "NotAcceptable", 410: "Expired",
           422: "Invalid", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout"}


def status(code, message, reason=None, retry_after=None, too_large=False):
    """A Status object."""
    details = {}
    if retry_after:
        details["retryAfterSeconds"] = int(retry_after)
    if too_large:
        details["causes"] = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
            "reason": reason or REASONS.get(code, "Unknown"), **({"details": details} if details else {}), "code": code}


def encoded(obj, protobuf):
    return encode.protobuf(obj) if protobuf else encode.json_text(obj)
