"""A small real model behind llama.cpp's OpenAI-compatible server, which is not simulated."""
