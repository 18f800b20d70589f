"""The device side: a patch's samples in, laboratory estimates out. Research software, no medical device."""
