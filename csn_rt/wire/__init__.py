"""The closed vocabulary: frames, events, operation parameters and results, names and codes. No I/O."""
