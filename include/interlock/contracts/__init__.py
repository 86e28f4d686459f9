"""Contracts: what each dataset promises, in the Open Data Contract Standard, and the checks that hold it to that."""
