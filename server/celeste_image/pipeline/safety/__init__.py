"""The operator's safety policy: words, rules, and the steps that apply them."""
