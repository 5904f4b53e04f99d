"""The commands, one file each: `add_to` says what it takes, `run` does it.

torch and transformers are imported only inside the `run` of a command that needs a model.
"""
