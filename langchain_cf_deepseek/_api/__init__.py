"""DeepSeek's chat API: request bodies from LangChain's messages, and messages from responses.

`request` and `messages` build a request, `response` reads the response. Nothing here does HTTP.
"""
