"""Faults on purpose: is anything lost, trained twice, or decided otherwise?"""
