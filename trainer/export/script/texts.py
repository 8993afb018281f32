"""Text of a script that no module of ours has."""

COLUMN_EMBEDDING = '''class ColumnEmbedding(nn.Module):
    """Look up names in a row of numbers; a text is the mean of its tokens' vectors.

    Shapes:
        input (batch, *any, width); output (batch, *any, size).
    """

    def __init__(self, parts: tuple[tuple[str, int, int, int], ...]) -> None:
        """Take what a row consists of: kind, width, and the size of each table."""
        super().__init__()
        self.parts = parts
        for number, (kind, _, names, size) in enumerate(parts):
            if kind != "numbers":
                table = nn.Parameter(torch.zeros(names, size))
                self.register_parameter(f"embedding_{number}", table)

    def forward(self, x: Tensor) -> Tensor:
        """Return the vectors and numbers of a batch, side by side."""
        found, start = [], 0
        for number, (kind, width, names, _) in enumerate(self.parts):
            given = x[..., start : start + width]
            start += width
            if kind == "numbers":
                found.append(given)
                continue
            ids = given.clamp(0, names - 1)
            vectors = embedding(ids.long(), getattr(self, f"embedding_{number}"))
            if kind == "name":
                found.append(vectors.flatten(-2))
            else:
                there = ids.clamp(0, 1).unsqueeze(-1)  # 0 fills up, all else counts
                sums = (vectors * there).sum(-2)
                found.append(sums / there.sum(-2).clamp(1, None))
        return torch.cat(found, dim=-1)'''

SLID = '''def slid(real: Tensor, size: int, stride: int, dilation: int) -> Tensor:
    """Return which steps a window leaves that saw as many real ones as any did."""
    taps = torch.ones(1, 1, size, device=real.device)
    seen = conv1d(real.float().unsqueeze(1), taps, stride=stride, dilation=dilation)
    seen = seen.squeeze(1)
    return seen >= seen.amax(dim=1, keepdim=True).clamp(min=1)'''

SPREAD = '''def spread(real: Tensor, reach: int, stride: int) -> Tensor:
    """Return which steps a transposed convolution makes of real ones."""
    taps = torch.ones(1, 1, reach, device=real.device)
    seen = conv_transpose1d(real.float().unsqueeze(1), taps, stride=stride)
    return seen.squeeze(1) >= 1'''
