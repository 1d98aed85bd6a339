"""The keeper: puts right what a lost process or a lost message left behind."""
