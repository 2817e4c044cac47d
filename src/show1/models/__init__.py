"""Networks of the cascade that diffusers does not have, and strict loading of all of them."""
