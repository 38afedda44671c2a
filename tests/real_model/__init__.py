"""A small real model behind llama.cpp's OpenAI-compatible server: shapes that nobody here wrote."""
