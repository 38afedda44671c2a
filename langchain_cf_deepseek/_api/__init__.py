"""DeepSeek's own rules: what its API takes and returns, and what LangChain makes of both.

`messages` and `request` build a request, `response` reads what comes back. Nothing here does HTTP.
"""
