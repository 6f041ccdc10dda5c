"""Clients of all tempers.

Service: each query goes to one of the pods that are its endpoints at that moment, as kube-proxy spreads them.
Flood: as many queries as one process can send, each for another name, none of which waits for a reply.
"""

import itertools
import multiprocessing
import random
import socket
import struct
import threading
import time

import wire
from harness import UDPClient


class Service:
    """Asks one name about `rate` times a second until the with block ends. pods: a list that the test changes."""

    def __init__(self, name, expected, pods, rate=400):
        self.name, self.expected, self.pods, self.pause = name, expected, list(pods), 1 / rate
        self.asked, self.wrong, self.slowest, self._stop = 0, [], 0.0, threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(4)]

    def _run(self):
        while not self._stop.is_set():
            pod, packet, began = random.choice(self.pods), wire.pack_query(self.name, "A"), time.monotonic()
            try:
                with UDPClient(53, pod.address) as client:  # a port of its own: a new flow for kube-proxy
                    client.send(packet)
                    reply = client.recv(2)
            except OSError as e:
                reply = e
            self.asked += 1
            self.slowest = max(self.slowest, time.monotonic() - began)
            if not isinstance(reply, wire.Message) or reply.values() != self.expected:
                self.wrong.append(f"{pod.address}: {reply}")
            self._stop.wait(self.pause * len(self._threads))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if kind is None:
            assert self.asked > 100, f"only {self.asked} asked"
            assert not self.wrong, f"{len(self.wrong)} of {self.asked} lost or wrong: {self.wrong[:3]}"


class Flood:
    """Queries for names below flood.example from 16 ports, for the time of a with block; .sent is their number after it."""

    def __init__(self, address):
        self._sent = multiprocessing.Value("Q", 0)
        self._process = multiprocessing.Process(target=self._run, args=(address,), daemon=True)

    def _run(self, address):
        packet = bytearray(wire.pack_query("x0000000000.flood.example.", "A"))
        sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(16)]
        for number in itertools.count():
            struct.pack_into("!H", packet, 0, number & 0xFFFF)
            packet[14:24] = b"%010d" % number
            try:
                sockets[number % 16].sendto(packet, (address, 53))
            except OSError:
                continue  # no room in the network's queue
            self._sent.value += 1

    def __enter__(self):
        self._process.start()
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.join()
        self.sent = self._sent.value
