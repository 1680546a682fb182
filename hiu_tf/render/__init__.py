"""From meshes to pixels: which triangle covers which pixel, differentiable masks, shading."""
