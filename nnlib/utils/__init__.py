"""Tools beside the model: data loading, hooks."""
