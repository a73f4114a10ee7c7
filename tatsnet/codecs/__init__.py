"""How image files are packed and unpacked; `tatsnet.images` is what others use."""
