"""The random-features score model: exact losses, spectra and their theory."""
