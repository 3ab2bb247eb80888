"""One policy gradient step per episode, as in PyTorch's actor-critic example.

The environment draws from its own generator, as those of Gymnasium do.
"""

import argparse
import hashlib
from collections import namedtuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.distributions import Categorical

parser = argparse.ArgumentParser(description="Actor-critic")
parser.add_argument("--gamma", type=float, default=0.99, metavar="G")
parser.add_argument("--seed", type=int, metavar="N", help="random seed")
parser.add_argument("--episodes", type=int, default=8)
parser.add_argument("--log-interval", type=int, default=4)
args = parser.parse_args()


class Corridor:
    """Walk to the right end, against a random wind; the episode ends there or after 60 steps."""

    def reset(self, seed=None):
        if seed is not None or not hasattr(self, "np_random"):
            self.np_random = np.random.default_rng(seed)
        self.time, self.position = 0, self.np_random.uniform(-0.5, 0.5)
        return self._state()

    def step(self, action):
        self.time += 1
        self.position += (0.1 if action == 1 else -0.1) + self.np_random.normal(0, 0.05)
        return self._state(), 1.0 * (self.position > 1), self.position > 1 or self.time >= 60

    def _state(self):
        return np.array([self.position, self.time / 60], dtype=np.float32)


env = Corridor()
state = env.reset(seed=args.seed)
if args.seed is not None:
    torch.manual_seed(args.seed)

SavedAction = namedtuple("SavedAction", ["log_prob", "value"])


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.affine1 = nn.Linear(2, 32)
        self.action_head = nn.Linear(32, 2)
        self.value_head = nn.Linear(32, 1)
        self.saved_actions = []
        self.rewards = []

    def forward(self, x):
        x = F.relu(self.affine1(x))
        return F.softmax(self.action_head(x), dim=-1), self.value_head(x)


model = Policy()
optimizer = optim.Adam(model.parameters(), lr=3e-2)
eps = np.finfo(np.float32).eps.item()


def select_action(state):
    probs, state_value = model(torch.from_numpy(state).float())
    m = Categorical(probs)
    action = m.sample()
    model.saved_actions.append(SavedAction(m.log_prob(action), state_value))
    return action.item()


def finish_episode():
    R = 0
    returns = []
    for r in model.rewards[::-1]:
        R = r + args.gamma * R
        returns.insert(0, R)
    returns = torch.tensor(returns)
    returns = (returns - returns.mean()) / (returns.std() + eps)
    policy_losses, value_losses = [], []
    for (log_prob, value), R in zip(model.saved_actions, returns, strict=True):
        advantage = R - value.item()
        policy_losses.append(-log_prob * advantage)
        value_losses.append(F.smooth_l1_loss(value, torch.tensor([R])))
    optimizer.zero_grad()
    loss = torch.stack(policy_losses).sum() + torch.stack(value_losses).sum()
    loss.backward()
    optimizer.step()
    del model.rewards[:]
    del model.saved_actions[:]


def main():
    running_reward = 0
    for i_episode in range(1, args.episodes + 1):
        state, ep_reward = env.reset(), 0
        for _ in range(1, 10000):  # don't infinite loop while learning
            state, reward, done = env.step(select_action(state))
            model.rewards.append(reward)
            ep_reward += reward
            if done:
                break
        running_reward = 0.05 * ep_reward + 0.95 * running_reward
        finish_episode()
        if i_episode % args.log_interval == 0:
            print(f"Episode {i_episode}\tAverage reward: {running_reward:.2f}")


if __name__ == "__main__":
    main()
    sha = hashlib.sha256()
    for p in model.parameters():
        sha.update(p.detach().numpy().tobytes())
    print("digest", sha.hexdigest())
