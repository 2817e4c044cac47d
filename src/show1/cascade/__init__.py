"""The four stages (and the first frame's upscaler) in order, and the pipeline that runs them."""
