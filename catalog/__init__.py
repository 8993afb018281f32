"""What is stored: the tables, and per noun its queries and its moves.

Shared by the API and the workers. Knows nothing of HTTP, Celery or torch.
"""
