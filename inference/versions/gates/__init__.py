"""Gates: what a new version must pass before it gets any traffic, cheapest first.

`loading`      its folder is complete and finite, and belongs to the base model and catalogue
`rounding`     it ranks as the network that was trained, in the number format that is served
`quality`      it ranks the newest likes no worse than the champion
`off_policy`   its choices have no lower value on logged lists that explored
`calibration`  its probabilities are those observed
`breadth`      its lists cover the catalogue and its long tail as the champion's do
`groups`       no group of users or items is served worse
`latency`      it answers in time, in Triton beside the champion

`judge` has all but the first and last, which need files and a server.
"""
