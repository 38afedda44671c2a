"""Input that users and servers can produce.

Every strategy mixes what is usual, so that a request gets through, with what is not.
"""
