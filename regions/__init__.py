"""The region packs that ship with cranpm, and the commands about them."""
