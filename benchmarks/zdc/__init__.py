"""Images of showers from one number, the energy: which loss and which network are better?"""
