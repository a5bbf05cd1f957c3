"""A procedural set of fine-grained actions: classes differ by motion only, one frame does not tell them apart."""
