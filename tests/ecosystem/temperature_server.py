"""An MCP server on stdio with two tools: one returns text, the other a link to a resource."""

from importlib import import_module
from typing import Any

fastmcp: Any = import_module("mcp.server.fastmcp")  # not always installed
types: Any = import_module("mcp.types")

server = fastmcp.FastMCP("temperatures")


def get_temperature(city: str) -> str:
    """Get the temperature in a city."""
    return f"18 degrees in {city}"


def find_forecast(city: str) -> Any:
    """Find the forecast of a city."""
    return types.ResourceLink(
        type="resource_link",
        name=f"{city}.txt",
        uri=f"https://forecast.example.com/{city}.txt",
        mimeType="text/plain",
    )


if __name__ == "__main__":
    server.tool(structured_output=False)(get_temperature)
    server.tool(structured_output=False)(find_forecast)
    server.run()
