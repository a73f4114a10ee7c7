"""How image files are packed and unpacked; `tatsnet.photos.files` is what others use."""
