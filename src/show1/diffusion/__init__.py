"""What sampling and training share and no network needs to know: noise, the denoising loop, window plans."""
