"""Training the LCDC network: on labelled videos, or on synthetic actions straight from the renderer."""
