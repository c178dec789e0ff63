"""The demo's service: a shop, the stock service it asks, and customers. Plain Python, no tracing.

shop.py stock | shop STOCK_PORT | customers SHOP_PORT
Each prints the port it listens on (customers: a word) and leaves when its standard input closes.
"""

import http.client
import json
import os
import random
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ITEMS = {"tea": 12, "cup": 3, "pot": 0}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        # Headers and body in one write, as any framework does.
        self.wfile = self.connection.makefile("wb", buffering=65536)

    def log_message(self, *_):
        pass

    def body(self):
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def answer(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def answer_chunked(self, pieces):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            data = piece.encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()
            time.sleep(0.02)
        self.wfile.write(b"0\r\n\r\n")


class Stock(Handler):
    """Knows how many of each item there are."""

    def do_GET(self):
        name = self.path.rpartition("/")[2]
        time.sleep(random.uniform(0.002, 0.012))
        if name not in ITEMS:
            return self.answer(404, {"error": "no such item"})
        if name == "pot":
            time.sleep(0.08)
        self.answer(200, {"item": name, "count": ITEMS[name]})


class Shop(Handler):
    """Asks the stock service, on a connection per customer."""

    stock_port = 0

    def stock(self, name):
        if not hasattr(self, "upstream"):
            self.upstream = http.client.HTTPConnection("127.0.0.1", self.stock_port)
        # The caller's traceparent is not passed on: the shop knows nothing of tracing.
        self.upstream.request("GET", "/stock/" + name)
        response = self.upstream.getresponse()
        return response.status, json.load(response)

    def do_GET(self):
        if self.path.startswith("/items/"):
            time.sleep(0.003)
            self.answer(*self.stock(self.path.rpartition("/")[2]))
        elif self.path == "/catalog":
            self.answer_chunked(f"{name}: {count}\n" for name, count in ITEMS.items())
        elif self.path == "/slow":
            time.sleep(0.25)
            self.answer(200, {"ok": True})
        elif self.path == "/broken":
            self.answer(500, {"error": "out of tea"})
        else:
            self.answer(404, {"error": "no such page"})

    def do_POST(self):
        size = len(self.body())
        time.sleep(0.005)
        self.answer(201, {"received": size})


def traceparent():
    return f"00-{random.getrandbits(128) or 1:032x}-{random.getrandbits(64) or 1:016x}-01"


def customer(port):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    while True:
        choice = random.choice(["tea", "cup", "pot", "tea", "lamp", "catalog", "slow", "broken", "nowhere", "photo"])
        headers = {"traceparent": traceparent(), "User-Agent": "customer/1.0"}
        if choice == "photo":
            # A head, then the body in two halves, as over a real network.
            connection.putrequest("POST", "/reviews")
            connection.putheader("Content-Length", "60000")
            connection.putheader("traceparent", traceparent())
            connection.endheaders()
            connection.send(b"x" * 30000)
            time.sleep(0.03)
            connection.send(b"x" * 30000)
        elif choice in ITEMS or choice == "lamp":
            connection.request("GET", "/items/" + choice, headers=headers)
        else:
            connection.request("GET", "/" + choice, headers=headers)
        connection.getresponse().read()
        time.sleep(random.uniform(0.1, 0.9))


def serve(handler):
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)


def main():
    role = sys.argv[1]
    if role == "stock":
        serve(Stock)
    elif role == "shop":
        Shop.stock_port = int(sys.argv[2])
        serve(Shop)
    else:
        for _ in range(3):
            threading.Thread(target=customer, args=(int(sys.argv[2]),), daemon=True).start()
        print("shopping", flush=True)
    sys.stdin.read()
    os._exit(0)


main()
