"""Why a compilation came out as it did, as text and as pictures."""
