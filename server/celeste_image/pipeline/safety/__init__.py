"""The operator's safety policy: word lists, rules, and the steps that apply them."""
