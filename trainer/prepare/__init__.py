"""From published data sets to problems with reference answers: `minrl data prepare`."""
