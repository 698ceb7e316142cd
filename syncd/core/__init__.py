"""The pure core: protocol, update scanner, schema and the two machines.

No asyncio, sockets, SQL, clocks or randomness: bytes, time and ids come in as arguments. Server, Python client and
simulator run the same code. PROTOCOL.md beside this file is normative.
"""
