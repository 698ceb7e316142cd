"""The server: an aiohttp shell around `syncd.core`. Nobody imports it but the command line."""
