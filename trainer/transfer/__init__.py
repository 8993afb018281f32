"""Which models of a catalog are worth taking layers from, for data they never saw.

Read by a child of the API, so numpy and ONNX Runtime only, never torch: `samples`
chooses the rows, `cuts` computes what a source's layers make of them, `evidence` and
`probe` say how well a linear model of that answers, `ranking` puts it all together.
"""
