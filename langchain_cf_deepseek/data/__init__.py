"""Plain data, imported at no cost: the models, the routings, and what writes the former.

`profile_augmentations.toml` is the one table of models that is edited by hand; `refresh.py` joins
it with the public data of models.dev into `_profiles.py`, which is all that is read at run time.
"""
