"""DeepSeek's own rules: what its API takes and returns, and what LangChain makes of both.

`messages` and `body` build a request, `answer` reads what comes back. No part of this does HTTP.
"""
