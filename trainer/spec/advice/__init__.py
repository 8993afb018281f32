"""From a data set and wishes to a spec, each choice with its reason and its source.

``wishes`` says what can be asked, ``case`` what is known of the data, ``rules`` and
``networks`` what follows, ``alternatives`` what else could be tried; ``advise`` puts
them together. To add a rule, write its function in ``rules`` and name it in ``RULES``.
Nothing here reads a row or imports torch.
"""
