"""Tools that tests bind to a model."""


def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return f"18 degrees in {city}"
