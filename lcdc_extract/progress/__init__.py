"""What people and other programs are told while something runs: one module for each thing that does."""
