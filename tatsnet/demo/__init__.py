"""The page of `tatsnet demo`: three sliders over a photo, served by this computer for itself alone."""
