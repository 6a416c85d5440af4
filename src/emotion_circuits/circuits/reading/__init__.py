"""What heads read and write, from weights: QK, OV, composition, copying and the logit lens."""
