"""What users and servers may come up with.

Every strategy mixes what is usual, so that a request gets through, with what is not.
"""
