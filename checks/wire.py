"""Bytes on the wire that no honest client sends."""

import socket
import struct
import time

import grpc
import h2.config
import h2.connection
import h2.events


def field(number, content):
    """A length-delimited protobuf field."""
    length, out = len(content), bytearray([number << 3 | 2])
    while length > 127:
        out.append(length & 127 | 128)
        length >>= 7
    return bytes(out) + bytes([length]) + content


def call(server, method, *messages, streaming=False, timeout=120):
    """Sends raw messages to a method; gives (status code name, details) of how the call ended."""
    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}", options=options) as channel:
        try:
            if streaming:
                list(channel.stream_stream(method)(iter(messages), timeout=timeout))
            else:
                list(channel.unary_stream(method)(messages[0], timeout=timeout))
        except grpc.RpcError as error:
            return error.code().name, error.details() or ""
    return "OK", ""


def lie_about_length(server, method, claimed, sent, end=True, timeout=20):
    """Announces a message of `claimed` bytes and sends `sent`; gives the headers that came back."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
    answer = {}
    with socket.create_connection(("127.0.0.1", server.grpc), timeout=timeout) as link:
        connection.initiate_connection()
        headers = [
            (":method", "POST"), (":scheme", "http"), (":path", method), (":authority", "localhost"),
            ("content-type", "application/grpc"), ("te", "trailers"),
        ]
        connection.send_headers(1, headers)
        connection.send_data(1, b"\0" + struct.pack(">I", claimed) + b"\x0a" * sent, end_stream=end)
        link.sendall(connection.data_to_send())
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and "grpc-status" not in answer and "reset" not in answer:
            try:
                received = link.recv(65536)
            except (TimeoutError, ConnectionError):
                break
            if not received:
                break
            for event in connection.receive_data(received):
                if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                    answer.update(event.headers)
                if isinstance(event, h2.events.StreamReset):
                    answer["reset"] = event.error_code
            link.sendall(connection.data_to_send())
    return answer
